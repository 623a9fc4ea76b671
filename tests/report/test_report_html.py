"""The page: everything that the store has, with what each figure depends on, and nothing that loads or runs."""

from __future__ import annotations

import itertools
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import kept_results
import pytest
from kept_results import measurement
from synthetic_trials import RUNTIME, make_memory_trial, make_samples, make_trial

from edgekit.core.errors import UsageError
from edgekit.measure.plan import Plan
from edgekit.report.collected import collect
from edgekit.report.html.chart import label
from edgekit.report.html.processes import processes, slots
from edgekit.results.history import history
from edgekit.results.store import Store, open_store
from edgekit.verbs.report import report

HOSTILE = "<script>alert(1)</script></svg></title>\x1b[31m$\\frac{$\u202eevil"


class Page(HTMLParser):
    """The elements of a page, and the text in each kind of them."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._open[-1], data.strip()))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def text(self) -> str:
        return " ".join(" ".join(text for tag, text in self.texts if tag not in ("style", "script")).split())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = open_store(str(tmp_path_factory.mktemp("store") / "results.sqlite"))
    kept_results.fill(store)
    return report(store).text


@pytest.fixture(scope="module")
def page(made: str) -> Page:
    return Page(made)


def page_of(store: Store) -> Page:
    return Page(report(store).text)


# -------------------------------------------------------------------------------------------- nothing from elsewhere


def test_the_page_names_no_address_that_a_browser_would_load(page: Page):
    loading = ("src", "srcset", "action", "data", "poster", "background", "xlink:href")
    assert not [attributes for _, attributes in page.elements if set(attributes) & set(loading)]
    links = [attributes["href"] for _, attributes in page.elements if attributes.get("href")]
    assert all(str(link).startswith("#") or link == "data:," for link in links)


def test_the_policy_forbids_every_request_and_every_script_but_its_own(made: str, page: Page):
    import base64
    import hashlib

    (policy,) = [one["content"] for one in page.all("meta") if one.get("http-equiv") == "Content-Security-Policy"]
    assert str(policy).startswith("default-src 'none'; ")
    script = made[made.index("<script>") + 8 : made.index("</script>")]
    assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in str(policy)
    assert made.count("<script") == 1
    assert not re.search(r"url\((?!#)", made)
    assert "@import" not in made


def test_every_id_is_there_once_and_every_reference_has_its_target(page: Page):
    ids = [str(attributes["id"]) for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    wanted = {
        name
        for _, one in page.elements
        for key in ("aria-labelledby", "aria-describedby")
        for name in (one.get(key) or "").split()
    }
    wanted |= {str(one["href"])[1:] for _, one in page.elements if str(one.get("href") or "").startswith("#")}
    assert wanted <= set(ids)


def test_names_from_boards_and_models_are_text_and_nothing_else():
    store = open_store()
    result = kept_results.manifest(HOSTILE, kept_results.INT8, HOSTILE, 0.99)
    store.add_optimization(
        {
            **result,
            "source": HOSTILE,
            "steps": [{**step, "name": HOSTILE, "notes": [HOSTILE]} for step in result["steps"]],
        }
    )
    store.add_measurement(measurement(HOSTILE, device=HOSTILE))
    store.add_measurement(measurement(HOSTILE, device=HOSTILE, seed=2))
    about = {"device": HOSTILE, "model": HOSTILE, "model_sha256": kept_results.INT8}
    op = {"name": HOSTILE, "layer": HOSTILE, "elapsed_ns": 5, "share": 1.0}
    store.add("profile", {"ops": [op], "ops_ns": 5}, **about)
    store.add("gate", {"reasons": [HOSTILE]}, verdict=HOSTILE[:10], **about)
    sides = {side: {"model": {"name": HOSTILE}} for side in ("baseline", "candidate")}
    store.add(
        "comparison", {"ratio": 1.5, "ci95": [1.4, 1.6], "reasons": [HOSTILE], **sides}, verdict="slower", **about
    )
    text = report(store).text
    assert text.count("<script>") == 1
    assert text.count("</svg>") == text.count("<svg ")
    assert "<script>alert" not in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\\x1b[31m" in text  # written out, so that one sees what it was
    shown = Page(text)
    assert "<script>alert(1)</script></svg></title>\\x1b[31m$\\frac{$\\u202eevil" in shown.text
    markdown = report(store, form="markdown").text
    assert "<script>" not in markdown.partition("```sh")[0]  # in a block of code it is text
    assert "\x1b" not in markdown


# ------------------------------------------------------------------------------------------------ every figure whole


def test_every_drawing_has_a_title_a_description_a_caption_and_a_table(page: Page):
    drawings = page.all("svg")
    assert len(drawings) == 2 * len(page.all("figure"))  # one for wide pages, one for phones
    assert all(one["role"] == "img" and one["aria-labelledby"] and one["aria-describedby"] for one in drawings)
    assert len(page.all("figcaption")) == len(page.all("figure"))
    assert len(page.all("table")) >= len(page.all("figure"))
    assert len([one for tag, one in page.texts if tag == "title"]) == len(drawings) + 1
    assert len([one for tag, one in page.texts if tag == "desc"]) == len(drawings)


def test_tables_scroll_in_boxes_that_keys_reach(page: Page):
    boxes = [one for one in page.all("div") if one.get("class") == "scroll"]
    assert len(boxes) == len(page.all("table"))
    assert all(one["tabindex"] == "0" and one["aria-labelledby"] for one in boxes)


def test_headings_never_skip_a_level(page: Page):
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_no_measurement_stands_without_its_verdict_and_circumstances(page: Page):
    for part in (
        "LiteRT C API 2.3.0, XNNPACK (all ops), 1 thread, 10 processes",
        "2.00 ms ±0.3 %",
        "The 95 % interval is",
        "from 10 fresh processes",
    ):
        assert part in page.text
    for word in ("VALID", "UNSTABLE", "EMULATED"):
        assert word in page.text


def test_an_unstable_measurement_is_said_first_and_never_recommended(page: Page):
    assert "Unstable, may change when measured again: 1 of 5 measurements: digits-int8 on local." in page.text
    assert "But the measurement is unstable, so do not rely on it: spread: the processes' medians vary by" in page.text


def test_a_failed_gate_is_said_first(page: Page):
    assert "8.1 % slower (95 % interval 6.2 to 9.9 %), 5 % is allowed" in page.text
    assert page.text.index("A gate failed: digits-int8 on pi4.") < page.text.index("Latency and score local")


def test_an_emulated_board_is_named_so_and_has_no_front(page: Page):
    assert "board (emulated) is an emulated processor: its times say nothing about a real board" in page.text
    assert "No front is marked." in page.text


def test_a_model_without_a_score_is_named_where_the_plot_lacks_it(page: Page):
    assert "unscored: not in the plot, it has no score or no latency" in page.text


def test_what_a_board_does_not_tell_is_named(page: Page):
    assert "This board does not tell: temperature, clock, governor, throttle bits." in page.text
    assert "No throttle bit was set before, during or after any process." in page.text


def test_a_float_model_is_compared_by_pairs_where_there_are_any(page: Page):
    assert "Compared in pairs with digits-float32: faster (latency × 0.350)" in page.text


def test_the_history_names_changes_and_their_caveat(page: Page):
    assert re.search(r"quicker from here on, cause unknown \(unpaired, drift possible\)", page.text)


def test_the_commands_that_repeat_it_can_be_pasted_into_a_shell():
    import shlex

    store = open_store()
    store.add_optimization({**kept_results.manifest("it's", kept_results.INT8, "int8", 0.9), "source": "a b.keras"})
    store.add_measurement(measurement("it's"))
    lines = [text for tag, text in page_of(store).texts if tag == "code"]
    words = [shlex.split(line) for line in lines]
    assert words[0][:3] == ["edgekit", "optimize", "a b.keras"]
    assert words[1] == ["edgekit", "benchmark", "it's.tflite", "--device", "pi4", "--num-threads", "1"]
    assert words[-1] == ["edgekit", "report"]


def test_what_compared_gated_and_profiled_is_repeated_by_its_own_command():
    store = open_store()
    kept_results.fill(store)
    sides = {
        name: {"model": {"name": f"{model}.tflite"}}
        for name, model in (("baseline", "digits-float32"), ("candidate", "digits-int8"))
    }
    gate = {
        "comparisons": [{"device": "pi4", "num_threads": 1, **sides}],
        "limits": {"latency": 0.1, "memory": None, "size": 0.01, "max_drop": 1.0},
    }
    store.add("gate", gate, device="pi4", model="digits-int8", model_sha256=kept_results.OTHER, verdict="passed")
    lines = [text for tag, text in page_of(store).texts if tag == "code"]
    assert "edgekit devices selftest pi4" in lines
    assert any(line.startswith("edgekit compare digits-float32.tflite digits-int8.tflite") for line in lines)
    assert "edgekit profile digits-int8.tflite --device pi4 --num-threads 1" in lines
    told = "edgekit gate digits-int8.tflite --baseline digits-float32.tflite --device pi4 --num-threads 1"
    assert f"{told} --latency 10% --memory off" in lines


RUNTIMES = {
    "litert": RUNTIME,
    "litert +cache": replace(RUNTIME, weight_cache=True),
    "litert-builtin": replace(RUNTIME, delegate="none", kernels="builtin"),
    "tflite_runtime": replace(RUNTIME, name="tflite_runtime", delegate="none"),
    "onnxruntime": replace(RUNTIME, name="onnxruntime", delegate="CPUExecutionProvider"),
}


def several_runtimes() -> Store:
    store = open_store()
    for place, (name, runtime) in enumerate(RUNTIMES.items()):
        model = "digits.onnx" if name == "onnxruntime" else "digits.tflite"
        samples = make_samples(median_ns=(2 + place) * 1e6, runtime=runtime)
        samples = replace(samples, memory=(make_memory_trial(runtime=runtime),))
        store.add_measurement(measurement(model, samples=samples))
    return store


def test_each_runtime_is_a_row_of_its_own_that_names_it():
    page = page_of(several_runtimes())
    for name in RUNTIMES:
        assert any(f"on pi4, {name}, 1 thread" in text for tag, text in page.texts if tag == "h3"), name
        assert (("td", name) in page.texts) or (("th", name) in page.texts)
    lines = [text for tag, text in page.texts if tag == "code"]
    assert lines[:5] == [
        "edgekit benchmark digits.tflite --device pi4 --num-threads 1",
        "edgekit benchmark digits.tflite --device pi4 --num-threads 1 --weight-cache",
        "edgekit benchmark digits.tflite --device pi4 --num-threads 1 --runtime litert-builtin",
        "edgekit benchmark digits.tflite --device pi4 --num-threads 1 --runtime tflite_runtime",
        "edgekit benchmark digits.onnx --device pi4 --num-threads 1",
    ]
    rows = [line for line in report(several_runtimes(), form="markdown").text.splitlines() if line.startswith("| pi4")]
    assert [row.split("|")[3].strip() for row in rows][:5] == [name.replace("_", "\\_") for name in RUNTIMES]


def test_the_quickest_is_claimed_among_what_is_valid_and_what_only_seems_quicker_is_named():
    store = open_store()
    for name, median, finite in (("good", 2e6, True), ("other", 3e6, True), ("spoilt", 1e6, False)):
        samples = make_samples(median_ns=median, finite=finite, during=kept_results.warm_board())
        store.add_measurement(measurement(f"{name}.tflite", samples=samples))
    (text,) = [text for _, text in page_of(store).texts if text.startswith("good takes")]
    assert "of the 2 valid measurements of this board it is the quickest" in text
    assert "What seems quicker, spoilt, is not valid" in text


# -------------------------------------------------------------------------------------------------- every process


def test_processes_that_were_thrown_away_stand_before_those_that_took_their_place():
    places = slots(kept_results.repeated_samples())
    assert [place.name for place in places] == ["1", "2", "3*", "3", "4", "5", "6*", "6", "7", "8", "9", "10"]
    assert [place.name for place in places if place.reason] == ["3*", "6*"]
    assert places[6].trial is None


def test_a_repeated_process_is_in_the_table_with_its_reason_and_in_no_statistic(page: Page):
    assert "2 processes did not count and ran again." in page.text
    assert "throttled: throttled" in page.text
    assert "crashed: no answer" in page.text


def test_readings_of_the_loop_are_drawn_in_the_order_of_their_times():
    store = open_store()
    store.add_measurement(measurement())
    (held,) = collect(store).measurements
    chart = processes(held, "one")
    assert chart is not None
    assert "48.2, 58.0, 48.2 °C" in chart.table.rows[0]
    assert "temperature before, during and after" in chart.description


def test_a_measurement_whose_samples_are_lost_keeps_its_place_and_says_so():
    store = open_store()
    kept = store.get(store.add_measurement(measurement()))
    Path(kept.document["samples_file"]).unlink()
    shown = page_of(store).text
    assert "Not drawn: the raw samples of" in shown
    assert "2.00 ms ±0.3 %" in shown


def test_very_few_samples_are_dots_and_none_at_all_is_no_chart():
    store = open_store()
    few = tuple(make_trial(iterations=3, seed=place) for place in range(3))
    store.add_measurement(measurement(samples=make_samples(trials=few)))
    store.add_measurement(measurement("nothing", samples=make_samples(trials=())))
    text = page_of(store).text
    assert "Not drawn: no process measured anything" in text
    assert "Too few processes for an interval." not in text.partition("nothing on pi4")[0]


# ------------------------------------------------------------------------------------------------ what it is made of


def test_an_empty_store_makes_a_page_that_says_so():
    shown = page_of(open_store())
    assert "Nothing was measured yet that this report could show." in shown.text
    assert not shown.all("svg")


def test_only_the_newest_of_each_model_board_and_thread_count_is_the_result(page: Page):
    store = open_store()
    for place, level in enumerate((3e6, 2e6)):
        store.add_measurement(measurement(median_ns=level, seed=place))
    found = collect(store)
    assert [round(held.document["latency"]["median_ns"] / 1e5) for held in found.measurements] == [20]
    assert [len(points) for points in found.histories] == [2]


def test_one_board_or_one_model_can_be_asked_for():
    store = open_store()
    kept_results.fill(store)
    assert {held.board for held in collect(store, device="pi4").measurements} == {"pi4"}
    assert {held.model for held in collect(store, model="digits-float32.tflite").measurements} == {"digits-float32"}
    assert collect(store, device="nowhere").results == ()


def test_an_unknown_form_is_a_usage_error_with_the_nearest_one():
    with pytest.raises(UsageError, match="unknown format 'htm'") as caught:
        report(open_store(), form="htm")
    assert "html" in str(caught.value.hint)


def test_names_that_are_too_long_keep_their_ends():
    assert label("mobilenet-v2-quantized-int8", 16) == "mobilenet-…-int8"
    assert label("a\nb") == "a\\nb"


def test_the_same_store_makes_the_same_page_but_for_the_time(tmp_path: Path):
    store = open_store()
    store.add_measurement(measurement())
    first, second = (re.sub(r"2\d{3}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d\+00:00)?", "", report(store).text) for _ in range(2))
    assert first == second


def test_a_newer_measurement_that_is_invalid_is_named_and_the_newest_usable_one_is_shown():
    store = open_store()
    good = store.add_measurement(measurement())
    store.add_measurement(measurement(samples=make_samples(finite=False)))
    found = collect(store)
    assert [held.result.id for held in found.measurements] == [good]
    (told,) = found.left_out
    assert told.startswith("digits-int8 on pi4, litert, 1 thread: measured again on ")
    assert "but invalid (" in told


def test_of_many_measurements_the_newest_that_may_be_used_are_drawn(monkeypatch):
    monkeypatch.setattr(sys.modules["edgekit.report.collected"], "DRAWN", 3)
    store = open_store()
    broken = make_samples(trials=tuple(make_trial(seed=seed, finite=False) for seed in range(10)))
    for place in range(4):
        store.add_measurement(measurement(f"m{place}.tflite", sha256=f"{place:02x}" * 32, device=f"board{9 - place}"))
    store.add_measurement(measurement("bad.tflite", sha256="aa" * 32, samples=broken))
    found = collect(store)
    assert sorted(held.model for held in found.drawn) == ["m1", "m2", "m3"]
    assert [held.board for held in found.drawn] == sorted(held.board for held in found.drawn)
    (told,) = found.left_out
    assert told.startswith("5 measurements; the newest 3 are drawn")


def test_raw_samples_are_read_only_of_what_is_drawn_and_of_each_boards_newest(monkeypatch):
    monkeypatch.setattr(sys.modules["edgekit.report.collected"], "DRAWN", 2)
    store = open_store()
    for place, device in enumerate(("pi5", "pi4", "pi4", "pi4", "pi4")):
        store.add_measurement(measurement(f"m{place}.tflite", sha256=f"{place:02x}" * 32, device=device))
    found = collect(store)
    assert {held.model for held in found.measurements if held.samples} == {"m3", "m4", "m0"}
    assert not any(held.missing for held in found.measurements)
    assert "m1" in report(store).text


def test_the_processes_of_a_self_test_are_no_measurement_of_the_users():
    store = open_store()
    samples = make_samples(plan=Plan(name="selftest", processes=10))
    kept = store.add_measurement(measurement("aa.tflite", samples=samples))
    store.add_measurement(measurement("mine.tflite"))
    assert [held.model for held in collect(store).measurements] == ["mine"]
    assert history(store, "aa", "pi4") == ()
    assert store.get(kept).model == "aa.tflite"  # it is kept all the same
