"""Models: booster, regression and calibration as files with checksums, with card and attributions."""
