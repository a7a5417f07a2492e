"""What we answer: models, reasons, the score record, the service and the batch."""
