"""The builder of segments: a rule as a form, and the form as a rule."""
