package main

import "github.com/spf13/cobra"

// commands lists the subcommands; each is built in the file of its name.
func commands(a *app) []*cobra.Command {
	return []*cobra.Command{
		newDevCommand(a),
		newRunCommand(a),
		newInitCommand(a),
		newValidateCommand(a),
		newConfigCommand(a),
		newObjectsCommand(a),
		newSchemaCommand(a),
		newContractCommand(a),
		newPreviewCommand(a),
		newStatusCommand(a),
		newPauseCommand(a),
		newResumeCommand(a),
		newStopCommand(a),
		newRestartCommand(a),
		newOffsetsCommand(a),
		newSnapshotCommand(a),
		newDeletesCommand(a),
		newConnectorsCommand(a),
		newVerifyCommand(a),
		newExplainCommand(a),
		newDeadLettersCommand(a),
		newReplayCommand(a),
		newMCPCommand(a),
		newSimulateCommand(a),
		newHashPasswordCommand(a),
		newVersionCommand(a),
	}
}
