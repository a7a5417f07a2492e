"""Who is moved by acting: uplift learnt from an experiment, and judged before it is offered."""
