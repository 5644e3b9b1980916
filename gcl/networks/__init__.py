"""The networks (generator, discriminator and encoders), their weights, and translation with a trained generator."""
