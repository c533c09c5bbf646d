"""What the console's pages show, from the same messages and the same decisions as the plugin's verbs. No I/O."""
