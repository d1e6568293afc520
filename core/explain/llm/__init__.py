"""A language model as explainer and as judge, through any OpenAI-compatible endpoint.

questions: what is asked of a model, and what comes back
prompts, answers: the words that are sent, and reading what comes back
explainer, judge: many heads at once
chat: the calls: concurrency, retries, faults, streaming
cache, prices, budget: no answer is paid for twice, and nothing is spent unasked
"""
