"""A language model as explainer and as judge, through any OpenAI-compatible endpoint.

questions: what is asked of a model, and what comes back
prompts, quoting: the words that are sent, and corpus text among them
answers, verdicts, json_in, reasoning: reading what comes back
explainer, judge, asking: many heads at once
chat, calls: many questions at once: what is kept, how many run, retries, stopping
endpoint, dialect, reading, faults: one call: the client, what an endpoint does not know, its answer, what goes wrong
cache, prices, budget: no answer is paid for twice, and nothing is spent unasked
"""
