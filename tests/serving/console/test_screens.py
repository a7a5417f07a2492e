"""What the screens show, beside what the API and the command line say of the same world."""

import json
import re
import time
from collections import Counter

import polars as pl
import pytest

from features.events.tombstones import digest_of
from serving.scoring.earlier.batch import Earlier
from tests.serving.console.conftest import SCRIPT, SCRIPTED, Consoled, Visitor

pytestmark = pytest.mark.xdist_group("console")


def scores(consoled: Consoled) -> pl.DataFrame:
    newest = Earlier.newest(consoled.world.settings.scores(consoled.world.definition.name))
    assert newest is not None
    with newest.reading() as records:
        return records.collect()


def number(count: int) -> str:
    return f"{count:,}"


def test_today_counts_users_as_the_newest_batch_does(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    visitor.get("/")
    states = Counter(scores(consoled)["state"].to_list())
    for state, users in states.items():
        assert f"{state} {number(users)}" in visitor.text
    assert "as of 2026-03-01" in visitor.text


def test_today_draws_what_changed_and_says_the_same_in_a_table(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    page = visitor.get("/").text
    drawn = re.findall(r"<title>(\S+) → (\S+): ([\d,]+)</title>", page.replace("not seen before", "not-seen-before"))
    assert drawn, "a week has changes"
    rows = re.findall(r"<tr><td>([^<]+)</td><td>([^<]+)</td><td class=\"right\">([\d,]+)</td></tr>", page)
    assert {(b, a, n) for b, a, n in drawn} == {(b.replace(" ", "-"), a, n) for b, a, n in rows}


def test_segments_show_size_holdout_destination_and_experiment(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    page = visitor.get("/segments").text
    found = scores(consoled)
    sizes = Counter(name for names in found["segments"].to_list() for name in names)
    held = Counter(name for names in found["holdout"].to_list() for name in names)
    assert sizes
    for name in consoled.world.definition.segments:
        row = re.search(rf'<tr>\s*<th scope="row"><a href="/console/segments/{name}">.*?</tr>', page, re.S)
        assert row is not None, name
        assert f'data-label="Users">{number(sizes[name])}</td>' in row[0]
        assert f'data-label="Held out">{number(held[name])} ' in row[0]
        assert "crm" in row[0]


def test_overlap_is_the_share_of_the_row_in_the_column(consoled: Consoled) -> None:
    page = consoled.visitor("viewer").get("/overlap").text
    members = [set(names) for names in scores(consoled)["segments"].to_list()]
    names = re.findall(r'<th scope="col"><span>([^<]+)</span></th>', page)
    assert len(names) > 3
    for row, cells in re.findall(r'<tr><th scope="row">([^<]+)</th>((?:<td[^>]*>\d+</td>)+)</tr>', page):
        shown = [int(cell) for cell in re.findall(r">(\d+)</td>", cells)]
        size = sum(row in one for one in members)
        expected = [100 * sum(row in one and other in one for one in members) / size for other in names]
        assert shown == pytest.approx(expected, abs=0.5)


def test_the_cut_off_counts_users_and_expected_hits(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    page = visitor.get("/cut-off?outcome=churn&at=0.5").text
    p = scores(consoled)["intent"].struct.field("churn").struct.field("probability").drop_nulls()
    chosen = p.filter(p >= 0.5)
    shown = dict(re.findall(r'data-cut="(\w+)">([^<]+)<', page))
    assert shown["users"] == number(len(chosen))
    assert int(shown["hits"].replace(",", "")) == round(float(chosen.sum()))
    assert shown["precision"] == f"{100 * float(chosen.mean() or 0):.1f} %"
    assert shown["recall"] == f"{100 * float(chosen.sum()) / float(p.sum()):.1f} %"
    [content] = re.findall(r'<script type="application/json" id="steps">(.*?)</script>', page, re.S)
    steps = json.loads(content)
    assert steps["users"][steps["at"].index(0.5)] == len(chosen)
    assert "profit" not in shown, "the definition states no costs"


def test_models_show_what_the_cards_say_and_what_came_true(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    visitor.get("/models")
    served = consoled.server.client.get("/models", headers={"authorization": f"Bearer {consoled.keys['read']}"}).json()
    assert {model["outcome"] for model in served} == {"churn", "purchase", "uninstall", "spend"}
    for model in served:
        assert model["question"] in visitor.text
        assert model["version"] in visitor.text
        for metric in ("auc", "normalised_gini"):
            if metric in model["metrics"]:
                assert f"{model['metrics'][metric]['value']:.3f}" in visitor.text


def test_models_show_what_came_true_of_matured_batches(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    page = visitor.get("/models").text
    published = json.loads((consoled.world.settings.monitoring("demo-shop") / "monitor.json").read_text())
    matured = {name: one for name, one in published["outcomes"].items() if one["batches"]}
    assert "purchase" in matured
    charts = [json.loads(text) for text in re.findall(r'id="realised-\d+">(.*?)</script>', page, re.S)]
    assert len(charts) == len(matured)
    for name, one in matured.items():
        assert f"{one['level']['ratio']:.3f}" in visitor.text, name
        shown = next(c for c in charts if c["rows"][0]["expected"] == pytest.approx(one["batches"][0]["expected"]))
        assert [row["at"] for row in shown["rows"]] == [row["at"] for row in one["batches"]]


def test_findings_of_the_monitor_are_in_the_language_of_the_reader(consoled: Consoled) -> None:
    file = consoled.world.settings.monitoring("demo-shop") / "monitor.json"
    kept = file.read_text()
    known = {
        "outcome": "purchase",
        "name": "level_moved",
        "alarm": True,
        "words": "1.2",
        "action": f"do {SCRIPT}",
    }
    newer = {"outcome": "churn", "name": "of_a_newer_program", "alarm": False, "words": "seen", "action": ""}
    file.write_text(json.dumps(json.loads(kept) | {"findings": [known, newer]}))
    try:
        visitor = consoled.visitor("viewer")
        visitor.get("/")
        assert f"1.2 do {SCRIPT}" in visitor.text
        visitor.get("/", **{"accept-language": "ko"})
        for shown in ("purchase이(가) 더 이상 예측한 만큼 일어나지 않습니다.", f"1.2 (do {SCRIPT})", "seen"):
            assert shown in visitor.text
    finally:
        file.write_text(kept)


def test_experiments_are_shown_with_their_arms(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    visitor.get("/experiments")
    published = json.loads((consoled.world.settings.monitoring("demo-shop") / "experiments.json").read_text())
    [(name, one)] = published.items()
    assert name in visitor.text
    for variant in one["variants"].values():
        assert number(variant["assigned"]) in visitor.text
    for sentence in one["words"]:
        assert sentence in visitor.text


def test_a_user_is_shown_as_the_api_has_them(consoled: Consoled) -> None:
    some = scores(consoled).filter(pl.col("intent").struct.field("churn").struct.field("probability").is_not_null())
    user = some["user_id"][0]
    visitor = consoled.visitor("read")
    visitor.get("/users")
    visitor.post("/users", user_id=user)
    answer = consoled.server.client.get(
        f"/users/{user}?reasons=5", headers={"authorization": f"Bearer {consoled.keys['read']}"}
    ).json()
    assert answer["record"]["state"] in visitor.text
    for name, intent in answer["record"]["intent"].items():
        for reason in intent["reasons"]:
            assert reason["text"] in visitor.text, name
    for name, membership in answer["memberships"].items():
        assert f"{name} {membership['value']}" in visitor.text


def test_nobody_is_found_where_nobody_is(consoled: Consoled) -> None:
    visitor = consoled.visitor("read")
    visitor.get("/users")
    assert visitor.post("/users", user_id="nobody at all").status_code == 404
    assert "Nothing is known" in visitor.text
    visitor.get("/users")
    assert visitor.post("/users", user_id="").status_code == 400


def _arrived(consoled: Consoled, user: str) -> Visitor:
    """The page of a user who acts, and whose id, event and properties are markup."""
    event = {"userId": user, "event": SCRIPT, "properties": {"name": SCRIPT}, "timestamp": "2026-03-01T11:00:00Z"}
    known = {"userId": user, "event": "app_open", "timestamp": "2026-03-01T11:00:01Z"}
    headers = {"authorization": f"Bearer {consoled.keys['write']}"}
    for message in (event, known):
        assert consoled.server.client.post("/v1/track", json=message, headers=headers).status_code == 200
    visitor = consoled.visitor("admin")
    for _ in range(100):
        visitor.get("/users")
        if visitor.post("/users", user_id=user).status_code == 200:
            return visitor
        time.sleep(0.2)
    raise AssertionError(visitor.text)


def test_markup_in_ids_is_shown_as_text(consoled: Consoled) -> None:
    visitor = _arrived(consoled, SCRIPTED)
    assert SCRIPTED in visitor.text
    assert "<img" not in visitor.page.text
    assert not re.search(r"<script(?! (?:defer|type=\"application/json\"))", visitor.page.text)


def test_erasing_needs_the_id_typed_and_is_written_down_without_it(consoled: Consoled) -> None:
    user = "somebody who leaves"
    visitor = _arrived(consoled, user)
    address = visitor.page.url.path.removeprefix("/console")
    visitor.get(address)
    assert visitor.post(f"{address}/erase", typed="somebody").status_code == 400
    visitor.get(address)
    assert visitor.post(f"{address}/erase", typed=user).status_code == 200
    assert "A second search found nothing left" in visitor.text
    visitor.get("/log")
    assert digest_of(user)[:16] in visitor.text
    assert user not in visitor.text
    assert visitor.get(address).status_code == 404


def test_what_is_erased_by_http_is_written_down_too(consoled: Consoled) -> None:
    user = "somebody by http"
    visitor = _arrived(consoled, user)
    headers = {"authorization": f"Bearer {consoled.keys['admin']}"}
    answer = consoled.server.client.delete(f"/users/{user}", headers=headers)
    assert answer.status_code == 200, answer.text
    visitor.get("/log")
    assert re.search(rf"admin-key 127\.0\.0\.1 erase user {digest_of(user)[:16]}", visitor.text)


def test_destinations_are_paused_resumed_and_it_is_written_down(consoled: Consoled) -> None:
    visitor = consoled.visitor("publisher")
    visitor.get("/hand-off")
    visitor.post("/hand-off/crm", do="pause")
    assert "paused" in visitor.text
    visitor.get("/")
    assert "crm is paused" in visitor.text
    visitor.get("/hand-off")
    visitor.post("/hand-off/crm", do="resume")
    assert "paused" not in visitor.text
    visitor.get("/log")
    assert re.search(r"publisher-key \S+ pause crm", visitor.text)
    assert re.search(r"publisher-key \S+ resume crm", visitor.text)


def test_everybody_is_sent_again_once_it_is_confirmed(consoled: Consoled) -> None:
    visitor = consoled.visitor("publisher")
    visitor.get("/hand-off")
    csrf = visitor.csrf
    assert visitor.post("/hand-off/crm", csrf=csrf, do="resync").status_code == 400
    before = len(consoled.receiver.messages)
    assert visitor.post("/hand-off/crm", csrf=csrf, do="resync", confirmed="yes").status_code == 200
    visitor.get("/log")
    found = re.search(r"publisher-key \S+ resync crm messages: (\d+)", visitor.text)
    assert found is not None
    assert int(found[1]) > 100
    for _ in range(100):
        if len(consoled.receiver.messages) >= before + int(found[1]):
            return
        time.sleep(0.2)
    raise AssertionError((before, len(consoled.receiver.messages), found[1]))


def test_pages_speak_the_language_of_the_browser(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    assert 'lang="ko"' in visitor.get("/", **{"accept-language": "ko-KR,ko;q=0.9,en;q=0.8"}).text
    assert "오늘" in visitor.text
    assert 'lang="en"' in visitor.get("/", **{"accept-language": "fr;q=0.9, en;q=0.2"}).text
    assert 'lang="en"' in visitor.get("/", **{"accept-language": "broken;q=x"}).text


def test_static_files_are_kept_by_browsers_under_an_address_of_their_own(consoled: Consoled) -> None:
    visitor = consoled.visitor("viewer")
    [style] = re.findall(r'href="(/console/static/style\.css\?\w+)"', visitor.get("/").text)
    answer = visitor.client.get(style)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["cache-control"]


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_the_users_of_a_segment_are_downloaded_with_the_held_out_left_out_or_marked(
    consoled: Consoled, form: str
) -> None:
    read = {"csv": pl.read_csv, "parquet": pl.read_parquet, "jsonl": pl.read_ndjson}[form]
    visitor = consoled.visitor("editor")
    visitor.get("/segments/repeat_buyer")
    csrf = visitor.csrf
    without = read(visitor.post("/segments/repeat_buyer/download", csrf=csrf, form=form, holdout="without").content)
    assert visitor.page.headers["content-disposition"] == f'attachment; filename="repeat_buyer.{form}"'
    marked = read(visitor.post("/segments/repeat_buyer/download", csrf=csrf, form=form, holdout="marked").content)
    found = scores(consoled).filter(pl.col("segments").list.contains("repeat_buyer"))
    held = set(found.filter(pl.col("holdout").list.contains("repeat_buyer"))["user_id"])
    assert held
    assert set(marked.filter("holdout")["user_id"]) == held
    assert set(without["user_id"]) == set(marked["user_id"]) - held == set(found["user_id"]) - held
    visitor.get("/log")
    assert f"form: {form}" in visitor.text
    assert visitor.post("/segments/repeat_buyer/download", csrf=csrf, form="exe").status_code == 400
    viewer = consoled.visitor("viewer")
    viewer.get("/segments/repeat_buyer")
    assert viewer.post("/segments/repeat_buyer/download", form=form).status_code == 403
