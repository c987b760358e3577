"""Pictures of every kind of source, one after the other: folders, patterns, lists, videos, cameras and iterables."""
