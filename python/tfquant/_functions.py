rewrite = fold = freeze = calibrate = check = summary = explain = diff = ranges = compare = None
