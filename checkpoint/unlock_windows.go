package checkpoint

import "os"

// unlock closes a file, which takes bbolt's lock from it.
func unlock(file *os.File) { _ = file.Close() }
