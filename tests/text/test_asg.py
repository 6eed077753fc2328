"""The auto segmentation criterion, against an enumeration of all paths."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby, pairwise, product

import numpy as np
import pytest

from quantkit.errors import FormatError, InputError
from quantkit.text.asg import (
    Asg,
    asg_alignment,
    asg_loss,
    best_path,
    log_posteriors,
    path_divergence,
)
from quantkit.text.decoders import beam_decoder, ctcdecode_decoder, greedy_decoder
from quantkit.text.labels import NO_BLANK, Labels

FRAMES, LABELS = 5, 3


@pytest.fixture(params=range(3))
def given(request) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(request.param)
    emissions = random.standard_normal((FRAMES, LABELS)).astype(np.float32)
    return emissions, random.standard_normal((LABELS, LABELS)).astype(np.float32)


def _scores(emissions: np.ndarray, transitions: np.ndarray) -> dict[tuple[int, ...], float]:
    """Of every path, as the paper writes it."""
    frames, labels = emissions.shape
    return {
        path: float(
            sum(emissions[t, label] for t, label in enumerate(path))
            + sum(transitions[a, b] for a, b in pairwise(path))
        )
        for path in product(range(labels), repeat=frames)
    }


def _written(path: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(label for label, _ in groupby(path))


def _log_sum(values) -> float:
    return float(np.logaddexp.reduce(list(values)))


def test_the_loss_is_that_of_all_paths_that_write_the_target(given) -> None:
    scores = _scores(*given)
    everything = _log_sum(scores.values())
    probability = 0.0
    for target in {_written(path) for path in scores}:
        mine = _log_sum(score for path, score in scores.items() if _written(path) == target)
        found = asg_loss(given[0], target, given[1])
        assert found == pytest.approx(everything - mine, abs=1e-5)
        probability += np.exp(-found)
    # Every path writes one text, so the probabilities of all texts add up to one.
    assert probability == pytest.approx(1.0, abs=1e-5)


def test_the_best_path_has_the_highest_score(given) -> None:
    scores = _scores(*given)
    assert tuple(best_path(*given)) == max(scores, key=scores.__getitem__)


def test_posteriors_are_the_shares_of_the_paths_through_a_label(given) -> None:
    scores = _scores(*given)
    total = _log_sum(scores.values())
    found = log_posteriors(*given)
    for frame, label in product(range(FRAMES), range(LABELS)):
        through = _log_sum(score for path, score in scores.items() if path[frame] == label)
        assert found[frame, label] == pytest.approx(through - total, abs=1e-5)


def test_the_divergence_is_that_of_the_distributions_of_paths(given) -> None:
    emissions, transitions = given
    other = emissions + np.random.default_rng(9).standard_normal(emissions.shape).astype("f4")
    mine, theirs = _scores(emissions, transitions), _scores(other, transitions)
    totals = _log_sum(mine.values()), _log_sum(theirs.values())
    wanted = sum(
        np.exp(score - totals[0]) * (score - totals[0] - theirs[path] + totals[1])
        for path, score in mine.items()
    )
    assert path_divergence(emissions, other, transitions) == pytest.approx(wanted, abs=1e-5)
    assert path_divergence(emissions, emissions, transitions) == pytest.approx(0, abs=1e-6)


def test_a_constant_of_a_frame_changes_nothing(given) -> None:
    emissions, transitions = given
    shifted = emissions + np.arange(FRAMES, dtype=np.float32)[:, None]
    assert asg_loss(shifted, [0, 2], transitions) == pytest.approx(
        asg_loss(emissions, [0, 2], transitions), abs=1e-5
    )
    assert best_path(shifted, transitions) == best_path(emissions, transitions)
    np.testing.assert_allclose(
        log_posteriors(shifted, transitions), log_posteriors(emissions, transitions), atol=1e-5
    )


def test_an_alignment_is_the_best_path_that_writes_the_target(given) -> None:
    scores = _scores(*given)
    for target in ((0, 1), (2, 0, 1), (1,)):
        path = max((p for p in scores if _written(p) == target), key=scores.__getitem__)
        spans = asg_alignment(given[0], target, given[1])
        assert spans is not None
        ends = [span.end for span in spans]
        assert [0, *ends] == [*(span.first for span in spans), FRAMES]
        said = np.repeat(target, np.diff([0, *ends])).tolist()
        assert tuple(said) == path


def test_a_target_longer_than_the_clip_has_no_path(given) -> None:
    target = [0, 1] * FRAMES
    assert asg_loss(given[0], target, given[1]) == float("inf")
    assert asg_alignment(given[0], target, given[1]) is None


def test_what_does_not_fit_is_refused(given) -> None:
    with pytest.raises(InputError, match="no label follows itself"):
        asg_loss(given[0], [1, 1], given[1])
    with pytest.raises(InputError, match="outside the model's 3 labels"):
        asg_loss(given[0], [3], given[1])
    with pytest.raises(InputError, match="do not fit transitions"):
        best_path(given[0], given[1][:2])


class TestLabels:
    labels = Labels.english().without_blank()

    @pytest.mark.parametrize("text", ["all", "aaa", "aaaa", "aaaaaaa", "committee", "a b", ""])
    def test_repeats_have_symbols_and_come_back(self, text: str) -> None:
        target = self.labels.encode(text)
        assert all(a != b for a, b in pairwise(target))
        assert self.labels.decode(target) == text

    def test_silence_stands_before_and_behind_a_text(self) -> None:
        space = self.labels.tokens.index(" ")
        assert self.labels.encode(" a ") == self.labels.encode("a")
        assert self.labels.encode("") == [space]
        assert self.labels.encode("a")[::2] == [space, space]

    def test_a_symbol_without_a_letter_writes_nothing(self) -> None:
        one, two = self.labels.asg.repeats
        a = self.labels.tokens.index("a")
        assert self.labels.decode([one, a, two, one]) == "aaa"

    def test_they_are_what_is_stored(self) -> None:
        transitions = np.random.default_rng(0).standard_normal((len(self.labels),) * 2)
        asg = Asg.of(self.labels.asg.repeats, transitions)
        trained = replace(self.labels, asg=asg)
        assert Labels.from_json(trained.to_json()) == trained
        assert np.abs(asg.matrix - transitions).max() < 1e-4

    def test_an_alphabet_without_a_blank_is_of_asg(self) -> None:
        with pytest.raises(InputError, match="blank index"):
            Labels(("a", "b"), NO_BLANK)
        with pytest.raises(FormatError, match="blank"):
            Labels.from_json('{"tokens": ["a", "b"], "blank": null, "separator": ""}')
        with pytest.raises(InputError, match="have no blank"):
            replace(self.labels, blank=0)

    @pytest.mark.parametrize(
        ("asg", "complaint"),
        [
            ('{"repeats": [9], "transitions": []}', "not all below 3"),
            ('{"repeats": [2], "transitions": [[0, 0, 0]]}', "no square of 3 by 3"),
            ('{"repeats": [2], "transitions": [["a", 0, 0]]}', "not rows of numbers"),
            ('{"repeats": [2]}', "transitions"),
        ],
    )
    def test_damaged_ones_are_refused(self, asg: str, complaint: str) -> None:
        text = '{"tokens": ["a", "b", "<1>"], "blank": null, "separator": "", "silent": [2], '
        with pytest.raises(FormatError, match=complaint):
            Labels.from_json(text + f'"asg": {asg}}}')


class TestDecoders:
    def _labels(self, transitions: np.ndarray) -> Labels:
        labels = Labels(("_", *"ab ")).without_blank(1)
        return replace(labels, asg=Asg.of(labels.asg.repeats, transitions))

    def _rows(self, path: list[int], sure: float) -> np.ndarray:
        return (np.eye(4)[path] * sure).astype(np.float32)

    def test_greedily_the_best_path_is_written(self) -> None:
        labels = self._labels(np.zeros((4, 4)))
        decode = greedy_decoder(labels)
        assert decode(self._rows([2, 0, 0, 3, 1, 2], 5.0)) == "aab"
        # Transitions keep a label that single frames contradict.
        staying = self._labels(np.where(np.eye(4), 4.0, 0.0))
        assert greedy_decoder(staying)(self._rows([0, 0, 1, 0, 0], 3.0)) == "a"
        assert decode(self._rows([0, 0, 1, 0, 0], 3.0)) == "aba"

    @pytest.mark.parametrize("seed", range(10))
    def test_beam_search_finds_the_likeliest_text(self, seed: int) -> None:
        random = np.random.default_rng(seed)
        labels = self._labels(random.standard_normal((4, 4)))
        rows = random.standard_normal((5, 4)).astype(np.float32)
        scores = _scores(rows, labels.asg.matrix)
        texts = {_written(path) for path in scores}
        sums = {
            text: _log_sum(score for path, score in scores.items() if _written(path) == text)
            for text in texts
        }
        likeliest = max(sums, key=sums.__getitem__)
        assert beam_decoder(labels, width=2_000).labels_of(rows) == [*likeliest]
        # A narrow beam follows single paths.
        assert tuple(beam_decoder(labels, width=1).labels_of(rows)) in sums

    def test_what_is_for_ctc_alone_is_refused(self, tmp_path) -> None:
        labels = self._labels(np.zeros((4, 4)))
        with pytest.raises(InputError, match="takes no language model"):
            beam_decoder(labels, language_model=tmp_path / "some.arpa")
        with pytest.raises(InputError, match="ctcdecode is for CTC"):
            ctcdecode_decoder(labels)
