"""A topic of Kafka as a source of events: read by one worker, appended to the live log together with its offsets."""
