"""What the operator and the job share of Pachyderm: its messages, its calls, and what its errors mean."""
