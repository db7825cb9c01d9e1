"""The models that HTS-AT is compared with, one file each."""
