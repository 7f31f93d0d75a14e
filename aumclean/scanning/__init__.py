"""From a data set to a run directory: plan, train the draws, judge, and judge what is added later."""
