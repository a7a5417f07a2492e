"""Importers of tools that record events, each with the traps of its export."""

import io
import tarfile
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from tests.features.imports.contract import ImporterContract, gz, lines


class TestSegment(ImporterContract):
    """Sent twice; anonymous before the login; a page has no event; a message of a kind that is no event."""

    like = "segment"
    expected = (
        {"user": "anon-1", "event": "page", "time": "2026-01-01T09:59:00Z", "page": "/shop", "id": "m0",
         "revenue": None},
        {"user": "u1", "event": "Order Completed", "time": "2026-01-01T10:00:00.250000Z", "id": "m1", "revenue": 12.5,
         "currency": "EUR", "anonymous_id": "anon-1", "arrived": "2026-01-01T10:00:02Z"},
        {"user": "u1", "event": "Order Completed", "time": "2026-01-01T10:00:00.250000Z", "id": "m1", "revenue": 12.5},
    )  # fmt: skip
    dropped: ClassVar = {"not an event": 1, "no user": 1}

    def export(self, folder: Path) -> None:
        page = {"type": "page", "anonymousId": "anon-1", "messageId": "m0", "timestamp": "2026-01-01T09:59:00Z",
                "receivedAt": "2026-01-01T09:59:01Z", "context": {"page": {"path": "/shop"}}}  # fmt: skip
        order = {"type": "track", "event": "Order Completed", "userId": "u1", "anonymousId": "anon-1",
                 "messageId": "m1", "timestamp": "2026-01-01T10:00:00.250Z", "receivedAt": "2026-01-01T10:00:02Z",
                 "properties": {"total": 12.5, "currency": "EUR"}}  # fmt: skip
        group = {"type": "group", "userId": "u1", "messageId": "m2", "timestamp": "2026-01-01T10:00:00Z"}
        nobody = {"type": "track", "event": "x", "messageId": "m3", "timestamp": "2026-01-01T10:00:00Z"}
        gz(folder / "1767225600000" / "1767225600000.aaaa.gz", lines([page, order, group]))
        gz(folder / "1767312000000" / "1767312000000.bbbb.gz", lines([order, nobody]))
        gz(folder / "1767398400000" / "1767398400000.cccc.gz", "")


class TestSegmentTables(ImporterContract):
    """A table an event; one without rows; columns that only some tables have."""

    like = "segment_tables"
    expected = (
        {"user": "u1", "event": "product_viewed", "time": "2026-01-01T09:00:00Z", "revenue": None, "product_id": "p1"},
        {"user": "anon-2", "event": "order_completed", "time": "2026-01-01T10:00:00Z", "revenue": 9.0, "id": "i2",
         "arrived": "2026-01-01T10:00:05Z"},
    )  # fmt: skip

    def export(self, folder: Path) -> None:
        at = datetime(2026, 1, 1, 9, tzinfo=UTC)
        viewed = {"id": ["i1"], "user_id": ["u1"], "anonymous_id": ["anon-1"], "event": ["product_viewed"],
                  "timestamp": [at], "received_at": [at], "product_id": ["p1"]}  # fmt: skip
        pl.DataFrame(viewed).write_parquet(folder / "product_viewed.parquet")
        pl.DataFrame(viewed).clear().write_parquet(folder / "empty.parquet")
        (folder / "order_completed.csv").write_text(
            "id,user_id,anonymous_id,event,timestamp,received_at,revenue\n"
            "i2,,anon-2,order_completed,2026-01-01 10:00:00+00,2026-01-01 10:00:05+00,9.00\n"
        )


class TestGa4(ImporterContract):
    """No event id; a shared time of a batch; an id that comes mid-session; denied consent; the table of the day."""

    like = "ga4"
    expected = (
        {"user": "p1", "event": "view_item", "time": "2026-01-01T00:00:00.000001Z", "revenue": None, "page": "/a"},
        {"user": "p1", "event": "view_item", "time": "2026-01-01T00:00:00.000001Z", "page": "/b", "session_id": "7"},
        {"user": "u1", "event": "purchase", "time": "2026-01-01T00:01:00Z", "revenue": 30.25, "currency": "USD",
         "anonymous_id": "p1", "country": "Germany", "transaction_id": "t1"},
    )  # fmt: skip
    dropped: ClassVar = {"no user": 1}

    def export(self, folder: Path) -> None:
        t = 1_767_225_600_000_001

        def param(key: str, **value: object) -> dict[str, object]:
            kinds = ("string_value", "int_value", "float_value", "double_value")
            return {"key": key, "value": {kind: value.get(kind) for kind in kinds}}

        def event(name: str, at: int, params: list[dict[str, object]], **more: object) -> dict[str, object]:
            return {"event_name": name, "event_timestamp": at, "user_pseudo_id": "p1", "user_id": None,
                    "event_params": params, "ecommerce": {"purchase_revenue": None, "transaction_id": None},
                    "geo": {"country": "Germany"}, "stream_id": "1", "platform": "WEB"} | more  # fmt: skip

        views = [event("view_item", t, [param("page_location", string_value=page), param("ga_session_id", int_value=7)])
                 for page in ("/a", "/b")]  # fmt: skip
        denied = event("view_item", t, [param("page_location", string_value="/c")], user_pseudo_id=None)
        value = param("value", double_value=1.0)
        order = event("purchase", t + 59_999_999, [param("currency", string_value="USD"), value], user_id="u1",
                      ecommerce={"purchase_revenue": 30.25, "transaction_id": "t1"})  # fmt: skip
        pq.write_table(pa.Table.from_pylist([*views, denied]), folder / "events_20260101.parquet")
        gz(folder / "events_20260102.json.gz", lines([{**order, "event_timestamp": str(order["event_timestamp"])}]))
        pq.write_table(pa.Table.from_pylist(views), folder / "events_intraday_20260103.parquet")


class TestAmplitude(ImporterContract):
    """An archive of gzipped hours; times without an offset; $insert_id is of a device."""

    like = "amplitude"
    expected = (
        {"user": "u1", "event": "signup", "time": "2026-01-01T10:00:00.123000Z", "id": "i1|d1", "revenue": None},
        {"user": "d2", "event": "buy", "time": "2026-01-01T10:00:01Z", "id": "i1|d2", "revenue": 5.0,
         "arrived": "2026-01-01T10:00:09Z"},
    )  # fmt: skip

    def export(self, folder: Path) -> None:
        first = {"user_id": "u1", "device_id": "d1", "event_type": "signup", "event_time": "2026-01-01 10:00:00.123000",
                 "server_upload_time": "2026-01-01 10:00:05.000000", "$insert_id": "i1", "uuid": "x1"}  # fmt: skip
        second = first | {"user_id": None, "device_id": "d2", "event_type": "buy", "event_time": "2026-01-01 10:00:01",
                          "server_upload_time": "2026-01-01 10:00:09", "event_properties": {"revenue": 5}}  # fmt: skip
        hour = gz(folder / "hour.json.gz", lines([first, second]))
        with zipfile.ZipFile(folder / "export.zip", "w") as archive:
            archive.write(hour, "187520/187520_2026-01-01_10#0.json.gz")
        hour.unlink()


class TestMixpanel(ImporterContract):
    """Duplicates that reports hide; milliseconds; a project from before 2023, whose times are local."""

    like = "mixpanel"
    given: ClassVar = {"zone": "America/New_York"}
    expected = (
        {"user": "u1", "event": "Sign Up", "time": "2026-01-01T10:00:00Z", "anonymous_id": "d1"},
        {"user": "u1", "event": "Purchase", "time": "2026-01-01T10:00:01.500000Z", "revenue": 3.0},
        {"user": "u1", "event": "Purchase", "time": "2026-01-01T10:00:01.500000Z", "revenue": 3.0},
    )

    def export(self, folder: Path) -> None:
        began = 1_767_261_600
        first = {"event": "Sign Up", "properties": {"time": began * 1000, "distinct_id": "u1", "$insert_id": "a",
                                                    "$device_id": "d1"}}  # fmt: skip
        second = {"event": "Purchase", "properties": {"time": began * 1000 + 1500, "distinct_id": "u1",
                                                      "$insert_id": "b", "revenue": 3}}  # fmt: skip
        (folder / "raw.jsonl").write_text(lines([first, second, second]))


class TestPosthog(ImporterContract):
    """Properties are a text of JSON; the person is a guess of the moment; the name ends in .parquet.zst."""

    like = "posthog"
    expected = (
        {"user": "d1", "event": "$pageview", "time": "2026-01-01T10:00:00.000001Z", "id": "e1", "person_id": "p1",
         "page": "/home", "revenue": None},
        {"user": "d1", "event": "paid", "time": "2026-01-01T10:00:02Z", "id": "e2", "revenue": 4.5},
    )  # fmt: skip

    def export(self, folder: Path) -> None:
        at = datetime(2026, 1, 1, 10, 0, 0, 1, tzinfo=UTC)
        row = {"uuid": "e1", "event": "$pageview", "distinct_id": "d1", "person_id": "p1", "timestamp": at,
               "_inserted_at": at, "properties": '{"$pathname": "/home"}'}  # fmt: skip
        pq.write_table(pa.Table.from_pylist([row]), folder / "0.parquet.zst")
        paid = {"uuid": "e2", "event": "paid", "distinct_id": "d1", "timestamp": "2026-01-01T10:00:02+00:00",
                "properties": {"amount": 4.5}}  # fmt: skip
        (folder / "1.jsonl").write_text(lines([paid]))


class TestSnowplow(ImporterContract):
    """Delivered at least once; structured events have an action and no name."""

    like = "snowplow"
    expected = (
        {"user": "u1", "event": "page_view", "time": "2026-01-01T10:00:00Z", "id": "e1", "page": "/a"},
        {"user": "u1", "event": "page_view", "time": "2026-01-01T10:00:00Z", "id": "e1"},
        {"user": "v2", "event": "add", "time": "2026-01-01T11:00:00Z", "id": "e2", "revenue": 2.0},
    )

    def export(self, folder: Path) -> None:
        columns = ["event_id", "event_name", "event", "se_action", "se_value", "user_id", "domain_userid",
                   "derived_tstamp", "collector_tstamp", "page_urlpath"]  # fmt: skip
        head = "\t".join(columns) + "\n"
        view = "e1\tpage_view\tpage_view\t\t\tu1\tv1\t2026-01-01 10:00:00.000\t{}\t/a\n"
        added = "e2\tevent\tstruct\tadd\t2\t\tv2\t2026-01-01 11:00:00.000\t2026-01-01 11:00:01.000\t\n"
        (folder / "part-0.tsv").write_text(head + view.format("2026-01-01 10:00:01.000") + added)
        (folder / "part-1.tsv").write_text(head + view.format("2026-01-01 10:00:09.000"))


class TestAdobe(ImporterContract):
    """Column names in a file of their own; excluded hits; codes of events; seconds."""

    like = "adobe"
    expected = (
        {"user": "c1", "event": "page_view", "time": "2026-01-01T10:00:00Z", "id": "1_1", "page": "home"},
        {"user": "7_8", "event": "purchase", "time": "2026-01-01T10:00:05Z", "id": "1_2", "purchase_id": "o1"},
    )
    dropped: ClassVar = {"not an event": 2}

    def export(self, folder: Path) -> None:
        columns = ["hitid_high", "hitid_low", "hit_time_gmt", "cust_visid", "mcvisid", "post_visid_high",
                   "post_visid_low", "post_event_list", "post_page_event", "post_pagename", "post_purchaseid",
                   "post_currency", "exclude_hit", "hit_source", "customer_perspective"]  # fmt: skip
        began = 1_767_261_600
        hits = [
            ["1", "1", began, "c1", "", "7", "8", "", "0", "home", "", "USD", "0", "1", "0"],
            ["1", "2", began + 5, "", "", "7", "8", "1,20=x", "0", "thanks", "o1", "USD", "0", "1", "0"],
            ["1", "3", began + 6, "c1", "", "7", "8", "", "0", "home", "", "USD", "1", "1", "0"],
            ["1", "4", began + 7, "c1", "", "7", "8", "", "0", "home", "", "USD", "0", "7", "0"],
        ]
        parts = {"column_headers.tsv": "\t".join(columns) + "\n",
                 "hit_data.tsv": "".join("\t".join(map(str, hit)) + "\n" for hit in hits),
                 "event.tsv": "1\tPurchase\n"}  # fmt: skip
        with tarfile.open(folder / "01-report_20260101.tar.gz", "w:gz") as archive:
            for name, text in parts.items():
                member = tarfile.TarInfo(name)
                member.size = len(text.encode())
                archive.addfile(member, io.BytesIO(text.encode()))


class TestMatomo(ImporterContract):
    """Actions and orders; visitors without a user id."""

    like = "matomo"
    expected = (
        {"user": "u1", "event": "Home", "time": "2026-01-01T10:00:00Z", "id": "5"},
        {"user": "0a1b2c3d4e5f6071", "event": "purchase", "time": "2026-01-01T10:05:00Z", "id": "9:o1", "revenue": 8.0},
    )

    def export(self, folder: Path) -> None:
        (folder / "actions.csv").write_text(
            "idlink_va,idvisit,idvisitor,user_id,server_time,action_name,event_action,url,idorder,revenue\n"
            "5,9,0a1b2c3d4e5f6071,u1,2026-01-01 10:00:00,Home,,example.com/,,\n"
            ",9,0a1b2c3d4e5f6071,,2026-01-01 10:05:00,,,,o1,8\n"
        )
