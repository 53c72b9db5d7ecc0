"""Files that are computed once: content-addressed, written whole or not at all, checked when read.

``python -m brainexp.cache ls|verify|prune`` looks after them.
"""

from brainexp.cache.digest import digest, file_digest, source_digest
from brainexp.cache.entry import stored_entry
from brainexp.cache.folders import FolderCache
from brainexp.cache.notes import Notes
from brainexp.cache.room import disk_free, features_cost, readable_bytes, require_room
from brainexp.cache.store import ArrayCache, Write, default_cache_dir

__all__ = [
    "ArrayCache",
    "FolderCache",
    "Notes",
    "Write",
    "default_cache_dir",
    "digest",
    "disk_free",
    "features_cost",
    "file_digest",
    "readable_bytes",
    "require_room",
    "source_digest",
    "stored_entry",
]
