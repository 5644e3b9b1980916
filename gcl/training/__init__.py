"""Training: one step, the loop over steps, the GAN losses, and the states that a killed training goes on from."""
