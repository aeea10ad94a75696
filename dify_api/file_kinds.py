"""What Dify takes a file for: it goes by the name's ending. Pure.

Reference section 5 (`constants/__init__.py` of Dify).
"""

from __future__ import annotations

_ENDINGS: dict[str, tuple[str, ...]] = {
    "image": ("jpg", "jpeg", "png", "webp", "gif", "svg"),
    "video": ("mp4", "mov", "mpeg", "webm"),
    "audio": ("mp3", "m4a", "wav", "amr", "mpga"),
    # The last line is for servers with “Unstructured” alone, which do not say so.
    "document": (
        *("txt", "md", "mdx", "markdown", "pdf", "html", "htm", "xlsx", "xls", "docx"),
        *("csv", "vtt", "properties"),
        *("doc", "eml", "msg", "pptx", "xml", "epub", "ppt"),
    ),
}
_KINDS = {ending: kind for kind, endings in _ENDINGS.items() for ending in endings}
CUSTOM = "custom"
# POST /audio-to-text compares the type alone: `audio/mpeg` and `audio/ogg` fail.
_AUDIO_TYPES = {
    "audio/mp3": "audio/mp3",
    "audio/mpeg": "audio/mp3",
    "audio/mpeg3": "audio/mp3",
    "audio/x-mp3": "audio/mp3",
    "audio/mpga": "audio/mpga",
    "audio/m4a": "audio/m4a",
    "audio/mp4": "audio/m4a",
    "audio/x-m4a": "audio/m4a",
    "audio/wav": "audio/wav",
    "audio/wave": "audio/wav",
    "audio/x-wav": "audio/wav",
    "audio/vnd.wave": "audio/wav",
    "audio/amr": "audio/amr",
}


def kind_of(extension: str) -> str:
    """Return what Dify takes a file with this ending (no dot) for."""
    return _KINDS.get(extension.lower(), CUSTOM)


def audio_type(content_type: str) -> str:
    """Return the type under which POST /audio-to-text takes a sound, "" for none."""
    return _AUDIO_TYPES.get(content_type.partition(";")[0].strip().lower(), "")
