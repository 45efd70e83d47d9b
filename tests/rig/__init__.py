"""What the tests share: installing, starting servers, playing participants, measuring gaps."""
