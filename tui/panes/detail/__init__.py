"""Pane 4: what is known about one head on one neuron, in five tabs."""

from headtorch.tui.panes.detail.pane import DetailPane

__all__ = ["DetailPane"]
