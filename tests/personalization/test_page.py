"""The page for a person: all that is known, nothing that is not, and nothing from elsewhere."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path

import pytest

from quantkit.graph.plan import Structure
from quantkit.personalization.page import render_page, write_page
from quantkit.personalization.summary import PersonalizeSummary
from quantkit.planning.finished_latency import FinishedLatency
from tests.pages import assert_links_lead_somewhere, assert_self_contained, read_page

EVIL = '</svg><script>alert("1")</script>$x_1$&'


@pytest.fixture
def html(summary, sensitivity, plan, front, artifact) -> str:
    size = artifact.stat().st_size
    done = replace(summary, destination=artifact, size_bytes=size, measured_divergence=0.03)
    return render_page(done, sensitivity, plan, front)


def headings(html: str) -> list[str]:
    return re.findall(r"<h2[^>]*>(.*?)</h2>", html)


def test_the_page_needs_nothing_else(html) -> None:
    assert_self_contained(html)
    assert_links_lead_somewhere(html)


def test_every_part_that_is_known_is_there(html) -> None:
    assert headings(html) == [
        "At a glance",
        "What became of each layer",
        "How much each layer matters",
        "What other sizes would give",
        "Where the bytes went",
        "What took how long",
        "How to read it",
    ]


def test_it_tells_what_was_asked_and_what_came_out(html, artifact) -> None:
    text = read_page(html).text
    size = artifact.stat().st_size
    for expected in (
        "32 clips of 2 min 7 s in all from recordings of Anna",
        "The budget was 0.0600 MB",
        f"{380_000 / size:.2f}× smaller than float32",
        "0.0300 nats per frame",
        "Measured on these 32 clips: 0.0300.",
        "Predicted: 0.0200.",
        "Left out: broken.wav.",
        f"Written to {artifact}.",
        f"{size:,} bytes in all.",
        "The longest step: listen, 3.0 s.",
    ):
        assert expected in text


def test_it_tells_why_each_layer_got_its_bits(html) -> None:
    text = read_page(html).text
    assert "holds 85 % of the weights and is the least sensitive per byte: 2 bits" in text
    assert "float32, as it was (pinned by you)" in text


def test_what_is_long_has_room_and_may_be_broken(summary, sensitivity, plan) -> None:
    rows = (replace(plan.layers[0], name="/encoder/layers.0/q_proj/MatMul"), *plan.layers[1:])
    layers = (replace(sensitivity.layers[0], name=rows[0].name), *sensitivity.layers[1:])
    known = replace(sensitivity, layers=layers)
    html = render_page(summary, known, replace(plan, layers=rows))
    broken = "/<wbr>encoder/<wbr>layers.<wbr>0/<wbr>q_<wbr>proj/<wbr>MatMul"
    assert f'<span class="name">{broken}</span>' in html
    assert html.count('<span class="why">holds') == len(plan.layers)
    # A narrow screen shows the first columns of a table.
    assert html.index(">bits</th>") < html.index(">why</th>") < html.index(">stored</th>")


def test_pictures_are_svg_with_words_and_a_table_beside(html) -> None:
    pictures = re.findall(r"<svg.*?</svg>", html)
    assert len(pictures) == 3
    for picture in pictures:
        root = ElementTree.fromstring(picture)
        assert root.get("aria-label")
        assert root.get("viewBox")
        assert not re.search(r"#[abc]0000\d", picture)
    # Layers, sensitivities and sizes in figures; bytes and time are tables anyway.
    assert html.count("<details") == 3
    assert html.count("<table>") == 5


def test_the_latency_is_said_and_first_where_it_is_missed(summary, sensitivity, plan) -> None:
    kept = FinishedLatency(limit_ms=20.0, predicted_ms=18.7, measured_ms=19.2, float32_ms=96.0)
    text = read_page(render_page(replace(summary, latency=kept), sensitivity, plan)).text
    assert "The limit was 20 ms. It is kept." in text
    assert "Predicted: 18.7 ms; float32 takes 96 ms." in text
    assert text.index("Size") < text.index("Latency")
    missed = replace(summary, latency=replace(kept, measured_ms=25.0))
    text = read_page(render_page(missed, sensitivity, plan)).text
    assert "It is NOT kept" in text
    assert text.index("Latency") < text.index("Size")


def test_the_structure_of_layers_is_said(summary, sensitivity, plan) -> None:
    first, second, *_ = (row.name for row in plan.layers)
    made = replace(plan, structure={first: Structure(24), second: Structure(channels=8)})
    text = read_page(render_page(summary, sensitivity, made)).text
    assert f"Layers split, with so many channels between the parts: {first} (24)." in text
    assert f"Layers with so many of their channels: {second} (8)." in text


def test_after_analyze_alone(summary, sensitivity) -> None:
    heard = PersonalizeSummary("small recogniser", 380_000, clips=32, seconds=127.0)
    html = render_page(heard, sensitivity)
    assert headings(html) == ["At a glance", "How much each layer matters", "How to read it"]
    assert "Size of float32" in html
    assert "None" not in read_page(html).text


def test_after_plan_alone(summary, sensitivity, plan, front) -> None:
    html = render_page(summary, sensitivity, plan, front)
    assert "Where the bytes went" not in headings(html)
    text = read_page(html).text
    assert "Size, predicted0.0540 MB" in text
    assert "Divergence from float32, predicted0.0200 nats per frame" in text
    assert "Predicted: 0.0200." in text
    assert "Measured on" not in text
    assert "Text that changed" not in text


def test_what_is_known_of_a_few_clips_says_how_sure_it_is(summary) -> None:
    sure = replace(summary, predicted_interval=(0.011, 0.034))
    text = read_page(render_page(sure)).text
    assert "Predicted: 0.0200 [0.0110, 0.0340]." in text


def test_divergence_is_of_what_the_model_gives_posteriors_for(summary) -> None:
    text = read_page(render_page(replace(summary, unit="token"))).text
    assert "0.0200 nats per token" in text
    assert "in nats per token. 0 means identical" in text
    assert "per frame" not in text


def test_a_plan_made_without_audio(plan) -> None:
    html = render_page(PersonalizeSummary("small recogniser", 380_000), plan=plan)
    assert headings(html) == ["At a glance", "What became of each layer", "How to read it"]
    assert "Made without audio" in html


def test_metrics_without_divergence_have_no_picture(summary, sensitivity) -> None:
    layers = tuple(replace(layer, weights=()) for layer in sensitivity.layers)
    html = render_page(summary, replace(sensitivity, layers=layers))
    assert "How much each layer matters" not in headings(html)


@pytest.mark.slow
def test_hostile_names_stay_text(summary, sensitivity, plan, front) -> None:
    rows = (replace(plan.layers[0], name=EVIL, note=EVIL), *plan.layers[1:])
    layers = (replace(sensitivity.layers[0], name=EVIL), *sensitivity.layers[1:])
    html = render_page(
        replace(summary, model=EVIL, audio=EVIL, warnings=(EVIL,)),
        replace(sensitivity, layers=layers),
        replace(plan, layers=rows),
        front,
    )
    page = read_page(html)
    assert "script" not in page.tags
    assert EVIL in page.text
    assert_self_contained(html)


@pytest.mark.slow
def test_the_same_page_every_time(summary, sensitivity, plan, front) -> None:
    first = render_page(summary, sensitivity, plan, front)
    assert render_page(summary, sensitivity, plan, front) == first


@pytest.mark.slow
def test_it_is_written(summary, sensitivity, plan, front, tmp_path: Path) -> None:
    write_page(tmp_path / "out" / "page.html", summary, sensitivity, plan, front)
    written = (tmp_path / "out" / "page.html").read_text(encoding="utf-8")
    assert written == render_page(summary, sensitivity, plan, front)
