"""Bundles and folders of models on the Hugging Face hub: :func:`push` and :func:`pull`."""

from quantkit.publishing.address import HubAddress, hub_address
from quantkit.publishing.pull import pull
from quantkit.publishing.push import push

__all__ = ["HubAddress", "hub_address", "pull", "push"]
