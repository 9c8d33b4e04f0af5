"""The SAM transform and CloudFormation's intrinsic functions, without AWS."""
