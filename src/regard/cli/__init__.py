"""The command line: `regard demo | train | translate | evaluate`."""
