SELECT
  DATE_TRUNC('HOUR', `received`) AS `hour`,
  COUNT(*) AS `n`
FROM (
  SELECT
    *
  FROM (
    SELECT
      CAST(`event_id` AS STRING) AS `event_id`,
      CAST(`user_id` AS STRING) AS `user_id`,
      CAST(LOWER(`name`) AS STRING) AS `name`,
      `happened` AS `happened`,
      COALESCE(`received`, `happened`) AS `received`,
      CAST(`amount` AS DOUBLE) AS `amount`
    FROM `web`.`events`
    WHERE
      `name` <> 'ping'
  ) AS `asked`
) AS `counted`
GROUP BY
  DATE_TRUNC('HOUR', `received`);

SELECT
  CURRENT_TIMESTAMP() AS `clock`;

SELECT
  *
FROM (
  SELECT
    CAST(`event_id` AS STRING) AS `event_id`,
    CAST(`user_id` AS STRING) AS `user_id`,
    CAST(LOWER(`name`) AS STRING) AS `name`,
    `happened` AS `happened`,
    COALESCE(`received`, `happened`) AS `received`,
    CAST(`amount` AS DOUBLE) AS `amount`
  FROM `web`.`events`
  WHERE
    `name` <> 'ping'
) AS `asked`
WHERE
  NOT `received` IS NULL;

SELECT
  DATE_TRUNC('HOUR', `received`) AS `hour`,
  COUNT(*) AS `n`
FROM (
  SELECT
    *
  FROM (
    SELECT
      CAST(`event_id` AS STRING) AS `event_id`,
      CAST(`user_id` AS STRING) AS `user_id`,
      CAST(LOWER(`name`) AS STRING) AS `name`,
      `happened` AS `happened`,
      COALESCE(`received`, `happened`) AS `received`,
      CAST(`amount` AS DOUBLE) AS `amount`
    FROM `web`.`events`
    WHERE
      `name` <> 'ping'
  ) AS `asked`
) AS `counted`
WHERE
  `received` >= CAST('2026-01-01 04:43:01+00:00' AS TIMESTAMP)
  OR `received` IS NULL
GROUP BY
  DATE_TRUNC('HOUR', `received`);

SELECT
  CURRENT_TIMESTAMP() AS `clock`;

SELECT
  *
FROM (
  SELECT
    CAST(`event_id` AS STRING) AS `event_id`,
    CAST(`user_id` AS STRING) AS `user_id`,
    CAST(LOWER(`name`) AS STRING) AS `name`,
    `happened` AS `happened`,
    COALESCE(`received`, `happened`) AS `received`,
    CAST(`amount` AS DOUBLE) AS `amount`
  FROM `web`.`events`
  WHERE
    `name` <> 'ping'
) AS `asked`
WHERE
  `received` >= CAST('2026-01-01 04:43:01+00:00' AS TIMESTAMP);
