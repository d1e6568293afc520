"""Pane 4: what is known about one neuron and one head of it, in tabs."""

from headtorch.tui.panes.detail.pane import DetailPane

__all__ = ["DetailPane"]
