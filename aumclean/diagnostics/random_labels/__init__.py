"""How fast would this network memorise noise? Zhang et al. 2017 on the user's own images, and what it means for AUM.

fit            one training per corruption, the same hyper-parameters for all: figure 1a
sweep          time to fit and test error against the share of random labels: figures 1b and 1c
regularize     regularisers on and off, on true and on random labels: tables 1 and 4, figure 2
expressivity   the finite-sample theorem as a construction: 2n + d weights fit any labels
kernel         the interpolating solution of least norm, on true and on random labels: table 3
rademacher     how well random signs are fitted: section 2.2
horizon        after how many epochs planted wrong labels are memorised: until then AUM must have been read
"""
