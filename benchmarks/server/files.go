package main

import (
	"bytes"
	"path"
	"strconv"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A file's name is its size: /N has N bytes. What is written is forgotten.

func sizeOf(file string) (int, error) {
	n, err := strconv.Atoi(path.Base(file))
	if err != nil || n < 0 {
		return 0, status.Errorf(codes.InvalidArgument, "%q is not named by its size", file)
	}
	return n, nil
}

var contents sync.Map // size -> []byte, a ReadFileResponse

func (s *service) readFile(request []byte) ([]byte, error) {
	if _, err := s.find(string(field(request, sandboxIDField))); err != nil {
		return nil, err
	}
	n, err := sizeOf(string(field(request, filePath)))
	if err != nil {
		return nil, err
	}
	reply, ok := contents.Load(n)
	if !ok {
		reply, _ = contents.LoadOrStore(n, appendBytes(nil, fileContent, bytes.Repeat([]byte{'x'}, n)))
	}
	return reply.([]byte), nil
}

func (s *service) writeFile(request []byte) ([]byte, error) {
	_, err := s.find(string(field(request, sandboxIDField)))
	return nil, err
}

// shell is what clients start to transfer a file through a command: sh -c SCRIPT NAME PATH [SIZE].
func shell(out grpc.ServerStream, a args) error {
	if len(a.words) < 4 {
		return exit(out, 2)
	}
	file := a.words[3]
	switch a.words[2] {
	case "cwsandbox-write-file", "cwsandbox-write-file-streaming":
		return drain(out)
	case "cwsandbox-stat":
		return say(out, []byte(path.Base(file)+"\n"))
	default:
		return printFile(out, file)
	}
}

func printFile(out grpc.ServerStream, file string) error {
	n, err := sizeOf(file)
	if err != nil {
		return err
	}
	return filler(out, n, "")
}

func drain(both grpc.ServerStream) error {
	if err := stdin(both, func(*message, request) error { return nil }); err != nil {
		return err
	}
	return exit(both, 0)
}
