"""Checkpoints of runs, as they are shipped."""

from __future__ import annotations

from pathlib import Path

import torch
from click.testing import CliRunner

from quantkit.audio.frontend import Frontend
from quantkit.models.checkpoint import load_wav2letter, save_wav2letter
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig
from quantkit.text.labels import Labels
from quantkit.training.publish import main


def test_a_published_checkpoint_is_half_as_large_and_says_the_same(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Wav2Letter(Wav2LetterConfig(labels=29, width=16, head_width=24, batch_norm=True)).eval()
    save_wav2letter(tmp_path / "best", model, Labels.english(), Frontend(), {"step": 7})
    result = CliRunner().invoke(
        main, [str(tmp_path / "best"), str(tmp_path / "tiny-en"), "--licence", "CC0-1.0"]
    )
    assert result.exit_code == 0
    published = load_wav2letter(tmp_path / "tiny-en")
    assert published.card == {"name": "tiny-en", "licence": "CC0-1.0", "step": 7}
    sizes = [(tmp_path / d / "model.safetensors").stat().st_size for d in ("best", "tiny-en")]
    assert sizes[1] < 0.6 * sizes[0]
    features, lengths = torch.randn(1, 80, 40), torch.tensor([80])
    with torch.no_grad():
        before, after = model(features, lengths)[0], published.model(features, lengths)[0]
    assert torch.allclose(before, after, atol=5e-3)


def test_a_damaged_card_is_named(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "card.json").write_text("{")
    result = CliRunner().invoke(
        main, [str(tmp_path / "best"), str(tmp_path / "tiny-en"), "--licence", "CC0-1.0"]
    )
    assert result.exit_code == 2
    assert "card.json is damaged, or of another kind of model" in " ".join(result.output.split())
    assert not (tmp_path / "tiny-en").exists()
