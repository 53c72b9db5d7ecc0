"""Which properties of a language model predict human brain activity, and how far can it be compressed?"""

__version__ = "0.1.0"
