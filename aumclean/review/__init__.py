"""The reviewer's desk: a local web page on which one image after another is decided with the keyboard."""
