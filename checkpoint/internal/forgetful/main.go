// Forgetful runs a command beside a disk that forgets at a cut of power what was not synced: a file system
// in user space, for Linux and root.
//
//	forgetful COMMAND [ARGUMENT …]
//
// The command finds in the environment variable POWER a folder. In it, disk is the disk; power is a file
// that takes, in one write each,
//
//	cut N SEED   at the Nth change or sync from now on the power goes; at once for 0
//	on           the power is back, with what is left
//
// and that reads as "on CUTS" or "off CUTS LOST", where LOST counts what was not synced at the cut. While the
// power is away, and for ever for files that were open then, whatever changes the disk is an I/O error. What
// was written to a file is safe once the file was synced, and a name that was made, changed or removed once
// its folder was. Of what was not, none, all, the first, or any comes through, writes in sectors of 512
// bytes. That is as little as POSIX promises, and less than ext4 and XFS keep.
//
// It is a module of its own, so that nobody else depends on what it is made with.
package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "usage: forgetful COMMAND [ARGUMENT …]")
		os.Exit(2)
	}
	err := run(os.Args[1], os.Args[2:]...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		os.Exit(exit.ExitCode())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "forgetful:", err)
		os.Exit(1)
	}
}

func run(name string, args ...string) (err error) {
	folder, err := os.MkdirTemp("", "forgetful-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(folder)) }()
	fresh := time.Duration(0) // the kernel asks each time who has a name
	_, err = fs.Mount(folder, &top{d: newDisk()}, &fs.Options{
		MountOptions: fuse.MountOptions{FsName: "forgetful", Name: "forgetful", DirectMountStrict: true, DisableXAttrs: true},
		EntryTimeout: &fresh, AttrTimeout: &fresh, NegativeTimeout: &fresh,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, syscall.Unmount(folder, syscall.MNT_DETACH)) }()
	signal.Notify(make(chan os.Signal, 1), os.Interrupt) // the command ends of it, and then this
	cmd := exec.Command(name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "POWER="+folder)
	return cmd.Run()
}
