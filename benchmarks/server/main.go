// Command server is the sandbox service without sandboxes: a command's words
// choose what comes back, at next to no cost, so that a benchmark measures the
// client. It ends when its stdin does.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"runtime/debug"
	"runtime/pprof"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

const maxMessage = 100 << 20

func serve(address string, options ...grpc.ServerOption) (string, *grpc.Server) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(options...)
	server.RegisterService(newService().describe(), nil)
	go func() {
		if err := server.Serve(listener); err != nil {
			log.Fatal(err)
		}
	}()
	return listener.Addr().String(), server
}

func main() {
	address := flag.String("listen", "127.0.0.1:0", "where to serve plaintext")
	tlsAddress := flag.String("listen-tls", "127.0.0.1:0", "where to serve TLS")
	certificate := flag.String("certificate", "", "the file to write the TLS certificate to; none: no TLS")
	streams := flag.Uint("max-streams", 0, "MAX_CONCURRENT_STREAMS; 0: grpc-go's default, which is no limit")
	profile := flag.String("cpu-profile", "", "the file to write a CPU profile to")
	flag.Parse()

	// As much memory as it likes: collecting garbage would take the CPU that is measured.
	debug.SetGCPercent(800)
	if *profile != "" {
		file, err := os.Create(*profile)
		if err != nil {
			log.Fatal(err)
		}
		if err := pprof.StartCPUProfile(file); err != nil {
			log.Fatal(err)
		}
		defer pprof.StopCPUProfile()
	}

	options := []grpc.ServerOption{
		grpc.ForceServerCodecV2(passThrough{}),
		grpc.MaxRecvMsgSize(maxMessage),
		grpc.MaxSendMsgSize(maxMessage),
	}
	if *streams > 0 {
		options = append(options, grpc.MaxConcurrentStreams(uint32(*streams)))
	}
	ready := map[string]string{}
	var plain, encrypted *grpc.Server
	ready["plain"], plain = serve(*address, options...)
	defer plain.Stop()
	if *certificate != "" {
		config, err := tlsConfig(*certificate)
		if err != nil {
			log.Fatal(err)
		}
		ready["tls"], encrypted = serve(*tlsAddress, append(options, grpc.Creds(credentials.NewTLS(config)))...)
		defer encrypted.Stop()
	}
	line, err := json.Marshal(ready)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		log.Print(err)
	}
}
