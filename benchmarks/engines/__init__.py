"""Packages that fit mixed models, each behind the same few questions; `_base` says which."""
