"""Taking the files of a log into its event store on Spark."""
