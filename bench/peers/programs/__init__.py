"""The peers, each as its own documentation writes it; they run in an environment of their own."""
