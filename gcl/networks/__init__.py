"""The networks: generator, discriminator and encoders, their weights, and translating with a trained generator."""
