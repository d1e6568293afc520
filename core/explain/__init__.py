"""Explainers say when a head is active; judges decide from what they said and the text of a prompt alone.

protocol: what an explainer and a judge are, and the examples that an explainer sees
rules: the offline explainer; rule, features, lexicon, search and learning are its parts
ceiling: how well any explanation by text alone could do
named_tokens: which tokens of a text make a rule hold
rewriting: texts rewritten so that a rule no longer holds of them; rewriting_plans is its part
me: the researcher's own sentence or regular expression
judge: the judge that needs no model
cases: which prompts a judge is shown, and the controls
llm: a language model as explainer and as judge
"""
