"""What a frozen, pretrained backbone says of each image, or its pixels: a second witness beside the trained network.

inference     pixels -> features, through a backbone (`aumclean.training.backbone`) on this machine
extract       Samples -> features of every image and its mirrored middle: streamed, cached, shared by later runs
own           a file of features that the user made
pixels        the pixels of small images as features
root          the scale that features are compared on
discriminant  features -> how likely each class is, by what was not taught the label
neighbours    features -> the nearest other samples of each
index         the same of very many, found approximately
near          images and their neighbours -> groups of near-duplicates
"""
