"""The environment of the rehearsal: an emulated AWS, and the interfaces to the deployment on it."""
