"""What a frozen, pretrained backbone says of each image: a second witness beside the network that is trained.

backbone    a name -> Backbone: a network without its head, its weights told by their hash, its scale of pixels
inference   pixels -> features, on this machine
extract     Samples -> features of every image and its mirror image: streamed, cached, shared by later runs
neighbours  features -> the nearest other samples of each, and groups of near-duplicates
"""
