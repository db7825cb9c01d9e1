"""The models that HTS-AT is compared with: AST and PANN-CNN, one file each."""
