"""Training: one step, the loop over steps, the GAN losses, and the states from which a killed training resumes."""
