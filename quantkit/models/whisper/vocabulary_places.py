"""Where the vocabulary of a checkpoint without one is: nothing is downloaded for it.

Training writes its checkpoints without the tokenizer, which lies in the folder around them, and
OpenAI's files hold none. For a model with the outputs of a published one, the tokenizer is that of
the package ``openai-whisper``, or of a model that was downloaded before.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from huggingface_hub import try_to_load_from_cache

from quantkit.errors import CheckpointError
from quantkit.models.whisper.token_names import TIKTOKEN_NAMES, TOKENIZER_NAME, has_names

# Published models, by outputs.
_REPOSITORIES = {
    51_864: ("tiny.en", "base.en", "small.en", "medium.en"),
    51_865: ("tiny", "base", "small", "medium", "large-v2", "large"),
    51_866: ("large-v3", "large-v3-turbo"),
}


def vocabulary_folder(path: Path, outputs: object) -> Path:
    """A folder with the vocabulary of a checkpoint, which is a folder or a file.

    Raises:
        CheckpointError: there is none on this machine.
    """
    published = _REPOSITORIES.get(outputs, ()) if isinstance(outputs, int) else ()
    for folder in (path, path.absolute().parent, *_elsewhere(published)):
        if has_names(folder):
            return folder
    place = "into" if path.is_dir() else "beside"
    model = f"openai/whisper-{published[0]}" if published else "the model that it was trained from"
    raise CheckpointError(
        f"{path} has no vocabulary: put {TOKENIZER_NAME} of {model} {place} it, or "
        f"{' or '.join(TIKTOKEN_NAMES)} of openai-whisper"
    )


def _elsewhere(published: tuple[str, ...]) -> Iterator[Path]:
    # The package is not imported.
    found = find_spec("whisper") if published else None
    for folder in (found.submodule_search_locations or ()) if found else ():
        yield Path(folder) / "assets"
    for name in published:
        file = try_to_load_from_cache(f"openai/whisper-{name}", TOKENIZER_NAME)
        if isinstance(file, str):
            yield Path(file).parent
