"""What several test folders need: real servers and real drives, made and removed by the tests themselves."""
