"""Which part of the labels rests on low and which on high frequencies (Wang, Wu, Huang and Xing, CVPR 2020).

bands       the filter: an image is the sum of its low-pass and its high-pass image
accuracy    a network judged on both, at several radii
energy      its share below each of several radii
split       the two images of every image, and how the energy is spread
test        one network on both
curves      when each band is picked up, with natural and with shuffled labels
transfer    trained on one band, tested on whole images
heuristics  what batch size, dropout, mix-up, batch norm, adversarial training and optimisers change
robustness  attacks, and first-layer kernels made smoother
join        for cleaning: which band each sample of a scan rests on
"""
