SELECT
  dateTrunc('HOUR', "received") AS "hour",
  COUNT(*) AS "n"
FROM (
  SELECT
    *
  FROM (
    SELECT
      CAST("event_id" AS Nullable(String)) AS "event_id",
      CAST("user_id" AS Nullable(String)) AS "user_id",
      CAST(LOWER("name") AS Nullable(String)) AS "name",
      "happened" AS "happened",
      COALESCE("received", "happened") AS "received",
      CAST("amount" AS Nullable(Float64)) AS "amount"
    FROM "web"."events"
    WHERE
      "name" <> 'ping'
  ) AS "asked"
) AS "counted"
GROUP BY
  dateTrunc('HOUR', "received");

SELECT
  CURRENT_TIMESTAMP() AS "clock";

SELECT
  *
FROM (
  SELECT
    CAST("event_id" AS Nullable(String)) AS "event_id",
    CAST("user_id" AS Nullable(String)) AS "user_id",
    CAST(LOWER("name") AS Nullable(String)) AS "name",
    "happened" AS "happened",
    COALESCE("received", "happened") AS "received",
    CAST("amount" AS Nullable(Float64)) AS "amount"
  FROM "web"."events"
  WHERE
    "name" <> 'ping'
) AS "asked"
WHERE
  NOT (
    "received" IS NULL
  );

SELECT
  dateTrunc('HOUR', "received") AS "hour",
  COUNT(*) AS "n"
FROM (
  SELECT
    *
  FROM (
    SELECT
      CAST("event_id" AS Nullable(String)) AS "event_id",
      CAST("user_id" AS Nullable(String)) AS "user_id",
      CAST(LOWER("name") AS Nullable(String)) AS "name",
      "happened" AS "happened",
      COALESCE("received", "happened") AS "received",
      CAST("amount" AS Nullable(Float64)) AS "amount"
    FROM "web"."events"
    WHERE
      "name" <> 'ping'
  ) AS "asked"
) AS "counted"
WHERE
  "received" >= CAST('2026-01-01 04:43:01+00:00' AS Nullable(DateTime))
  OR "received" IS NULL
GROUP BY
  dateTrunc('HOUR', "received");

SELECT
  CURRENT_TIMESTAMP() AS "clock";

SELECT
  *
FROM (
  SELECT
    CAST("event_id" AS Nullable(String)) AS "event_id",
    CAST("user_id" AS Nullable(String)) AS "user_id",
    CAST(LOWER("name") AS Nullable(String)) AS "name",
    "happened" AS "happened",
    COALESCE("received", "happened") AS "received",
    CAST("amount" AS Nullable(Float64)) AS "amount"
  FROM "web"."events"
  WHERE
    "name" <> 'ping'
) AS "asked"
WHERE
  "received" >= CAST('2026-01-01 04:43:01+00:00' AS Nullable(DateTime));
