"""What is said to tabs at once, in every process, and kept nowhere."""
