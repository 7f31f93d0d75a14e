"""What a frozen, pretrained backbone says of each image: a second witness beside the network that is trained.

backbone    a name -> Backbone: a network without its head, its weights told by their hash, its scale of pixels
inference   pixels -> features, on this machine
extract     Samples -> features of every image and its mirrored middle: streamed, cached, shared by later runs
own         a file of features that the user made
root        the scale that features are compared on
neighbours  features -> the nearest other samples of each, and groups of near-duplicates
"""
